"""
Probes for Django: middleware, views, the commands ``probe`` and ``wait4db``, and a Monitor in the worker.

What a user of django-kubernetes has in settings and URLs works here under the name ``liveness.django``.
"""
