"""Messages of rooms by Django REST framework: `django_app.py FOLDER COMMAND ...`.

It runs in an environment of its own, as any project with one model, and writes into the folder.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import django
from django.conf import settings
from django.core.management import execute_from_command_line

FOLDER = Path(sys.argv.pop(1))

settings.configure(
    DEBUG=True,  # so that it logs each statement of SQL, and serves the files
    SECRET_KEY="a secret of the tests that is long enough",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "db.sqlite3"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MEDIA_ROOT=FOLDER / "media",
    MEDIA_URL="/media/",
    STATIC_URL="/static/",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "rest_framework",
    ],
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "rest_framework_simplejwt.authentication.JWTAuthentication"
        ],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    },
    SIMPLE_JWT={"ACCESS_TOKEN_LIFETIME": timedelta(days=1)},  # no test is so long
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"], "level": "DEBUG"},
    },
)
django.setup()

# What follows can be imported only when Django is set up.
from django.contrib import admin  # noqa: E402
from django.db import models  # noqa: E402
from django.urls import include, path, re_path  # noqa: E402
from django.views.static import serve  # noqa: E402
from rest_framework import filters, pagination, routers, serializers, viewsets  # noqa: E402
from rest_framework_simplejwt.views import (  # noqa: E402
    TokenObtainPairView,
    TokenRefreshView,
)


def place(message: Message, name: str) -> str:
    """Return where a file is kept."""
    return f"{message.room}/{name}"


class Message(models.Model):
    room = models.SlugField(max_length=100)
    title = models.CharField(max_length=1000, unique=True, null=True, blank=True)
    text = models.TextField(max_length=20_000)
    scan = models.FileField(upload_to=place, null=True, blank=True)

    class Meta:
        """Where the messages are."""

        app_label = "clinic"
        db_table = "message"

    def __str__(self) -> str:
        return f"message {self.pk}"


class MessageSerializer(serializers.ModelSerializer[Message]):
    class Meta:
        """What of a message clients see."""

        model = Message
        fields = ("id", "room", "title", "text", "scan")


class Pages(pagination.PageNumberPagination):
    page_size = 100
    page_size_query_param = "page_size"


class MessageView(viewsets.ModelViewSet[Message]):
    queryset = Message.objects.all().order_by("id")
    serializer_class = MessageSerializer
    pagination_class = Pages
    filter_backends = (filters.SearchFilter, filters.OrderingFilter)
    search_fields = ("text",)
    ordering_fields = ("id", "text")

    def get_queryset(self) -> models.QuerySet[Message]:
        """Return the messages that the query names by a room or a text."""
        query = self.request.query_params
        wanted = {one: query[one] for one in ("room", "text") if one in query}
        return super().get_queryset().filter(**wanted)


admin.site.register(Message)
router = routers.DefaultRouter()
router.register("messages", MessageView)
urlpatterns = [
    path("api/", include(router.urls)),
    path("api/token/", TokenObtainPairView.as_view()),
    path("api/token/refresh/", TokenRefreshView.as_view()),
    path("admin/", admin.site.urls),
    re_path("media/(?P<path>.*)", serve, {"document_root": settings.MEDIA_ROOT}),
]

if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        from django.contrib.auth.models import User
        from django.db import connection

        execute_from_command_line(["", "migrate", "--verbosity=0"])
        with connection.schema_editor() as editor:
            editor.create_model(Message)
        User.objects.create_superuser("ada", password="password-of-ada")
    else:
        execute_from_command_line(sys.argv)
