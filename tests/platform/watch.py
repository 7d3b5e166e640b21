"""A real Prometheus with the chart's own alerts, which says what somebody on call would be told.

The one rule: an alert counts from the moment that its condition holds ("pending"): its `for` is minutes that no test
waits, and what it is for.
"""

from __future__ import annotations

import json
import shutil

import yaml

from safeguards_extproc.local import envoy, processes
from safeguards_extproc.local.processes import Part
from tests.helm.program import CHART
from tests.platform.cluster import waits
from tests.platform.scene import ADMIN, SERVICE, Scene

NEEDED = "no prometheus on PATH (Debian: apt install prometheus)"
PORT = 9090


def missing() -> str:
    """Why there can be no Prometheus, "" if there can."""
    return "" if shutil.which("prometheus") else NEEDED


class Watch:
    """Scrapes the pods of the chart and every Envoy once a second. Begins without a memory."""

    def __init__(self, made: Scene, name: str) -> None:
        self._made, self._folder = made, made.folder / f"prometheus-{name}"
        self._folder.mkdir()
        self._host = made.cluster.host()
        shutil.copyfile(CHART / "files" / "alerts.yaml", self._folder / "alerts.yaml")
        self._targets = [
            ("/metrics", [f"{pod.address}:9090" for pod in made.cluster.of(SERVICE)]),
            ("/metrics", [f"{pod.address}:8002" for pod in made.cluster.of(f"{SERVICE}-triton")]),
            ("/stats/prometheus", [f"{edge.host.address}:{ADMIN}" for edge in made.edges.values()]),
        ]
        jobs = [
            {
                "job_name": f"job{number}",
                "metrics_path": path,
                "static_configs": [{"targets": targets, "labels": {"namespace": "mesh"}}],
            }
            for number, (path, targets) in enumerate(self._targets)
        ]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": jobs,
        }
        (self._folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        argv = ["prometheus", f"--config.file={self._folder / 'prometheus.yaml'}", "--log.level=warn"]
        argv += [f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address={self._host.address}:{PORT}"]
        self.part: Part = made.start(f"prometheus {name}", self._host, argv)
        processes.wait(self.part, lambda: self._get("/-/ready")[0] == 200, timeout_s=30)
        wanted = sum(len(targets) for _, targets in self._targets)
        waits(lambda: self._scraped() == wanted, "everything is scraped")

    def alerts(self) -> set[str]:
        """The names of those whose condition holds."""
        rows = json.loads(self._get("/api/v1/alerts")[1])["data"]["alerts"]
        return {row["labels"]["alertname"] for row in rows}

    def stop(self) -> None:
        processes.stop(self.part)

    def _scraped(self) -> int:
        """Targets of which there are two samples: from then on an increase is seen."""
        rows = json.loads(self._get("/api/v1/query?query=count_over_time(up[1m])%3E=2")[1] or "{}")
        return len(rows.get("data", {}).get("result", []))

    def _get(self, path: str) -> tuple[int, str]:
        return envoy.get(f"{self._host.address}:{PORT}", path)
