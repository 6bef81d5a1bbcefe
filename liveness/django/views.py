"""
The same answers as views, for who wants them in a URLconf, or behind the other middleware.

Behind it a probe meets whatever it does: a Host header that is not allowed, a redirect to HTTPS, a session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import classonlymethod
from django.utils.functional import classproperty
from django.views.generic import View

from . import readiness
from .probes import ReadinessProbe, answer


class _ProbeView(View):
    """Asked by nobody who is logged in, and in no transaction: a database that is away is no matter of the way here."""

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """The view function."""
        view: Callable[..., HttpResponseBase] = login_not_required(super().as_view(**initkwargs))
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view


class LivenessView(_ProbeView):
    """200 and Ok; 503 if the unit that the application has joined is not alive."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The answer to GET, and to HEAD."""
        return answer(readiness.current().live())


class ReadinessView(_ProbeView):
    """
    200 and Ok if every probe says so; else the text and status of the first that does not.

    The probes are those of the settings, or others in a subclass, or ``as_view(probes=[...])``.
    """

    #: Of probes of its own; None: those of the settings.
    readiness: readiness.Readiness | None = None

    @classproperty
    def probes(cls) -> Sequence[ReadinessProbe]:
        """The probes, made once."""
        return readiness.current().probes

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Raises ImproperlyConfigured for no probes, or for what is none, and ImportError for a bad dotted path."""
        probes = initkwargs.get("probes", cls.probes)
        if probes is not readiness.current().probes:
            initkwargs["readiness"] = readiness.Readiness(probes)
        return super().as_view(**initkwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The answer to GET, and to HEAD."""
        return answer((self.readiness or readiness.current()).ready(request))
