"""Which runs keep what they said beyond the days for it: those that an evaluation under way answers or judges by."""

_UNDER_WAY = "select from evals_evaluation e where e.state = 'running'"
_OF_RESULT = f"{_UNDER_WAY} and x.evaluation_id in (e.id, e.baseline_id)"
NEEDED = f"""(
  exists (select from evals_result x where x.run_id = r.id and exists ({_OF_RESULT}))
  or exists (select from evals_pair x where x.run_id = r.id and exists ({_OF_RESULT}))
  or exists (
    select from evals_metric m join evals_result x on x.id = m.result_id where m.run_id = r.id and exists ({_OF_RESULT})
  )
)"""
