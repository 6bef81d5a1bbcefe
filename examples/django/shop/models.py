"""What the shop keeps."""

from django.db import models


class Order(models.Model):
    """One that the worker has yet to do, or has done."""

    done = models.BooleanField(default=False)
