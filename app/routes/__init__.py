"""The documented, validated routes: everything but the hot path, and the hot path's second door."""

from app.routes.batch import SCHEMAS
from app.routes.batch import router as batch
from app.routes.bulk import router as bulk
from app.routes.cluster import router as cluster
from app.routes.docs import router as docs
from app.routes.errors import install_errors
from app.routes.health import router as health
from app.routes.kv import router as kv
from app.routes.limits import router as limits
from app.routes.metrics import router as metrics
from app.routes.node import router as node
from app.routes.partitions import router as partitions
from app.routes.problems import router as problems
from app.routes.responses import Api, refuse_unknown_parameters
from app.routes.scan import router as scan
from app.routes.settings import router as settings
from app.routes.watch import router as watch

__all__ = [
    "SCHEMAS",
    "Api",
    "batch",
    "bulk",
    "cluster",
    "docs",
    "health",
    "install_errors",
    "kv",
    "limits",
    "metrics",
    "node",
    "partitions",
    "problems",
    "refuse_unknown_parameters",
    "scan",
    "settings",
    "watch",
]
