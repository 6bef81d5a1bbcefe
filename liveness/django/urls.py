"""For include(): livez, healthz and readyz."""

from django.urls import path

from .views import LivenessView, ReadinessView

urlpatterns = [
    path("livez", LivenessView.as_view(), name="liveness-probe"),
    path("healthz", LivenessView.as_view(), name="health-probe"),
    path("readyz", ReadinessView.as_view(), name="readiness-probe"),
]
