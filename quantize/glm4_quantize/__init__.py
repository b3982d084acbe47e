"""Weight compression: what is compressed how, for which device, and why."""

import sys

# NNCF and OpenVINO's converter report their use to a third party through this package, and do without where it is
# missing. This toolkit tells nobody.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
