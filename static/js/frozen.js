// Before any script reads what came from outside: what every object, list and function stands on can no longer be changed, neither by us nor by a
// text from outside whose keys are called `__proto__`. Scripts add nothing to it either; those of others included.

for (const { prototype } of [Object, Array, Function]) Object.freeze(prototype);
