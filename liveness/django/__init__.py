"""Probes for Django, as in django-kubernetes: middleware, views, commands, and a Monitor in the worker."""
