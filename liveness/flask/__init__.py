"""
Health endpoints for Flask in the style of Spring Actuator.

    from liveness.flask import z_blueprint
    app.register_blueprint(z_blueprint)

and there are /z/health, /z/health/liveness, /z/health/readiness, /z/health/ping, /z/info and /z/version. What they ask
is in ``app.config["Z_ENDPOINTS"]``.
"""

from .blueprint import HealthError, z_blueprint
from .extension import ManagementEndpoints
from .info import Info

__all__ = ["HealthError", "Info", "ManagementEndpoints", "z_blueprint"]
