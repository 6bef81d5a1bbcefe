"""Probes for Django, as in django-kubernetes: middleware, views, commands, and a Monitor in the worker."""

from ..errors import require_extra

require_extra("liveness.django", "django", "Django")
