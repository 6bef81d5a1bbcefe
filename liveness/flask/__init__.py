"""
Health endpoints for Flask in the style of Spring Actuator: /z/health, /z/info and /z/version.

    from liveness.flask import z_blueprint
    app.register_blueprint(z_blueprint)

``app.config["Z_ENDPOINTS"]`` names the functions and the services that they ask.
"""

from .blueprint import HealthError, z_blueprint
from .extension import ManagementEndpoints
from .info import Info

__all__ = ["HealthError", "Info", "ManagementEndpoints", "z_blueprint"]
