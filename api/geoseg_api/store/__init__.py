"""The job store: who asked for what, who works on it, and how it ended (docs/decisions/029).

One store for SQLite and PostgreSQL. Every change is one short transaction; nobody holds one while computing. A worker
has a job by a lease with an epoch: what it writes counts only while the epoch is the job's.
"""

from __future__ import annotations

from geoseg_api.store.dialects import Database, StoreUnavailableError, open_database
from geoseg_api.store.jobs import JobStore
from geoseg_api.store.keys import ApiKey, KeyStore
from geoseg_api.store.records import Accepted, Beat, Job, Lease, NewJob

__all__ = [
    "Accepted",
    "ApiKey",
    "Beat",
    "Database",
    "Job",
    "JobStore",
    "KeyStore",
    "Lease",
    "NewJob",
    "StoreUnavailableError",
    "open_database",
]
