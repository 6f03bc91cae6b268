"""What calls hold while they are made: budgets of days and months, and turns at connections."""

from django.db import models
from django.db.models import Q

from runs.models.run import Run


class BudgetCounter(models.Model):
    """What a budget's period has spent and reserved so far; moved by `runs.allowance` and the fenced commit only.

    `alerted_micros` is the spend up to which the budget's alerts have been given, `full_micros` the cap at whose end
    one was. `extra_micros` is what a manager allowed beyond the cap in this period.
    """

    budget = models.ForeignKey("pipelines.Budget", on_delete=models.CASCADE)
    period_start = models.DateField(help_text="in the workspace's zone")
    spent_micros = models.BigIntegerField(default=0)
    reserved_micros = models.BigIntegerField(default=0)
    alerted_micros = models.BigIntegerField(default=0)
    full_micros = models.BigIntegerField(default=0)
    extra_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["budget", "period_start"], name="one_counter_per_period"),
            models.CheckConstraint(condition=Q(reserved_micros__gte=0), name="counter_not_negative"),
        ]


class BudgetHold(models.Model):
    """What one open call has reserved of one budget's period; gone once the call is settled."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    call = models.TextField()
    budget = models.ForeignKey("pipelines.Budget", on_delete=models.CASCADE, db_constraint=False)
    period_start = models.DateField()
    amount_micros = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call", "budget"], name="one_hold_per_call_and_budget")]


class ConnectionUse(models.Model):
    """A call that goes through a limited connection, or waits to; moved by `runs.limits` only.

    Until `taken_at` it waits in line; from then until `given_back_at` it is under way, as long as its owner renews
    `until`. Rows of the last minute say how many requests and tokens the minute has had.
    """

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey("pipelines.Connection", on_delete=models.CASCADE, db_constraint=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    call = models.TextField()
    owner = models.CharField(max_length=128)
    tokens = models.BigIntegerField(help_text="reserved, and once the call has answered what it used")
    asked_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True, blank=True)
    given_back_at = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "call"], name="one_use_per_call")]
