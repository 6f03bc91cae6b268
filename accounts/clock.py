"""The database's clock: what all machines agree on, whatever their own say."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Return the time of the database, also within a transaction that began earlier."""
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
