"""A worker that ends with the server that started it: ``python -m geoseg_api.tied``."""

from __future__ import annotations

from geoseg_api.logs import log_as_json
from geoseg_api.settings import ServiceSettings
from geoseg_api.worker import run_worker

if __name__ == "__main__":
    service = ServiceSettings()
    log_as_json(service.log_level)
    run_worker(service, tied=True)
