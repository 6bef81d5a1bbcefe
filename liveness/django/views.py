"""The same responses as views, for a URLconf. They come after all middleware."""

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
    """Needs no login, and no transaction: it must also respond while the database is down."""

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
        """The response to GET and HEAD."""
        return answer(readiness.current().live())


class ReadinessView(_ProbeView):
    """200 and Ok if all probes pass: those of the settings, of a subclass, or of ``as_view(probes=[...])``."""

    #: For probes of its own; None for those of the settings.
    own_readiness: readiness.Readiness | None = None

    @classproperty
    def probes(cls) -> Sequence[ReadinessProbe]:
        """The probes of the settings, made once."""
        return readiness.current().probes

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """The view function. Raises ImproperlyConfigured for invalid probes, ImportError for a bad dotted path."""
        probes = initkwargs.get("probes", cls.probes)
        if probes is not readiness.current().probes:
            initkwargs["own_readiness"] = readiness.Readiness(probes)
        return super().as_view(**initkwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The response to GET and HEAD."""
        return answer((self.own_readiness or readiness.current()).ready(request))
