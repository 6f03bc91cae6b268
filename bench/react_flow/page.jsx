// React Flow with as many boxes as the editor's canvas has in `bench.canvas`: rows of eight, each box leading to the one
// below, with a map and its controls. `?steps=1000` says how many; with `?updates=50` so many cards change each second.

import { useEffect } from "react";
import { createRoot } from "react-dom/client";
import { Background, Controls, Handle, MiniMap, Position, ReactFlow, useEdgesState, useNodesState } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import "./page.css";

const ROW = 8;
const query = new URLSearchParams(location.search);
const steps = Number(query.get("steps") ?? 1000);
const updates = Number(query.get("updates") ?? 0);
const STATES = ["waiting", "running", "done"];

const firstNodes = Array.from({ length: steps }, (_, index) => ({
  id: `s${index}`,
  type: "step",
  position: { x: (index % ROW) * 216, y: Math.floor(index / ROW) * 140 },
  data: { title: `Step ${index}`, state: "waiting", count: 0 },
}));
const firstEdges = firstNodes.slice(ROW).map((_, index) => ({ id: `e${index}`, source: `s${index}`, target: `s${index + ROW}`, type: "smoothstep" }));

function Step({ data }) {
  return (
    <div className={`card ${data.state}`}>
      <Handle type="target" position={Position.Top} />
      <div className="head"><span className="tile" /><div><b>{data.title}</b><small>Transform</small></div></div>
      <div className="foot"><span>{data.state}</span><span>{data.count}</span></div>
      <Handle type="source" position={Position.Bottom} />
    </div>
  );
}

const kinds = { step: Step };

function Page() {
  const [nodes, setNodes, onNodesChange] = useNodesState(firstNodes);
  const [edges, , onEdgesChange] = useEdgesState(firstEdges);
  useEffect(() => {
    if (!updates) return undefined;
    let count = 0;
    const timer = setInterval(() => {
      const id = `s${(count * 7) % steps}`;
      count += 1;
      const state = STATES[count % STATES.length];
      setNodes((all) => all.map((node) => (node.id === id ? { ...node, data: { ...node.data, state, count } } : node)));
    }, 1000 / updates);
    return () => clearInterval(timer);
  }, [setNodes]);
  return (
    <ReactFlow nodes={nodes} edges={edges} nodeTypes={kinds} onNodesChange={onNodesChange} onEdgesChange={onEdgesChange} minZoom={0.1} defaultViewport={{ x: 40, y: 20, zoom: 0.6 }}>
      <Background />
      <MiniMap />
      <Controls />
    </ReactFlow>
  );
}

createRoot(document.getElementById("root")).render(<Page />);
