"""
Health endpoints for Flask in the style of Spring Actuator: /z/health, /z/info and /z/version.

    from liveness.flask import z_blueprint
    app.register_blueprint(z_blueprint)

``app.config["Z_ENDPOINTS"]`` names the functions and the services that they ask.
"""

from ..errors import require_extra

require_extra("liveness.flask", "flask", "Flask", "certifi")

from .blueprint import HealthError, z_blueprint  # noqa: E402
from .extension import ManagementEndpoints  # noqa: E402
from .info import Info  # noqa: E402

__all__ = ["HealthError", "Info", "ManagementEndpoints", "z_blueprint"]
