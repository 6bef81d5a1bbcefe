"""The URLs, and the application for the server."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path


def orders(request: HttpRequest) -> HttpResponse:
    from shop.models import Order

    return HttpResponse(f"{Order.objects.filter(done=False).count()} open orders\n", content_type="text/plain")


urlpatterns = [path("", orders)]
application = get_wsgi_application()
