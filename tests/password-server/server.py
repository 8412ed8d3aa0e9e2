"""A real authorization server (django-oauth-toolkit) on loopback, for the end-to-end tests.

    python server.py --port PORT      and one line of JSON on standard input:
    {"clients": [{"client_id", "client_secret", "grant_type": "password" or "client_credentials"}],
     "people": [{"username", "password"}], "access_token_seconds": int, "password_refresh_tokens": bool}

It prints `ready` and nothing else on standard output, and ends on SIGTERM or when standard input does, so that it never
outlives the test that started it. Exit status 98 means that the port is taken. State is kept in memory.

Endpoints are found by RFC 8414 metadata. `/me` is a resource behind access tokens. A client may use its grant type and
`refresh_token` and no other; refresh tokens rotate, and a spent one shown again revokes all of its family.
"""

import argparse
import errno
import json
import os
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import django
from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import include, path
from oauthlib.oauth2 import Server

PORT_IS_TAKEN = 98
ENDPOINTS = ["token", "revoke-token", "introspect"]
APPS = ["auth", "contenttypes", "oauth2_provider"]

# Django looks for them in the module that ROOT_URLCONF names: this one. They cannot be made before `django.setup()`.
urlpatterns = []


class ServerWithoutPasswordRefresh(Server):
    """RFC 6749 §4.3.3: a refresh token is optional in the answer to the password grant."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.password_grant.refresh_token = False


def configure(options):
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
        MIDDLEWARE=[f"{__name__}.token_request_log"],
        # The tables are made from the models at once, not by years of migrations.
        MIGRATION_MODULES=dict.fromkeys(APPS),
        OAUTH2_PROVIDER={
            "SCOPES": {"read": "Read", "write": "Write"},
            "DEFAULT_SCOPES": ["read"],
            "ACCESS_TOKEN_EXPIRE_SECONDS": options["access_token_seconds"],
            "ROTATE_REFRESH_TOKEN": True,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "OAUTH2_GRANT_TYPES_SUPPORTED": ["password", "client_credentials", "refresh_token"],
            "OAUTH2_RESPONSE_TYPES_SUPPORTED": [],
            "OAUTH2_SERVER_CLASS": Server if options["password_refresh_tokens"] else ServerWithoutPasswordRefresh,
        },
        # A slow hash would only make slow tests.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=secrets.token_hex(32),
        USE_TZ=True,
    )
    django.setup()
    urlpatterns.extend(routes())


def routes():
    from oauth2_provider.urls import base_urlpatterns, metadata_urlpatterns
    from oauth2_provider.views.generic import ProtectedResourceView
    from oauth2_provider.views.mixins import ProtectedResourceMetadataMixin

    class Me(ProtectedResourceMetadataMixin, ProtectedResourceView):
        """Whose token it is; nobody's after client credentials. Refusals are those of RFC 6750 §3."""

        def get(self, request):
            person = request.resource_owner
            return JsonResponse({"sub": person and person.get_username()})

    # No grant type of this server uses the authorization endpoint, so its metadata has none (RFC 8414 §2).
    endpoints = [route for route in base_urlpatterns if route.name in ENDPOINTS]
    return [
        path("", include((metadata_urlpatterns + endpoints, "oauth2_provider"))),
        path("me", Me.as_view()),
    ]


def register(options):
    from django.contrib.auth.models import User
    from oauth2_provider.models import Application

    call_command("migrate", run_syncdb=True, verbosity=0)
    grants = {
        "password": Application.GRANT_PASSWORD,
        "client_credentials": Application.GRANT_CLIENT_CREDENTIALS,
    }
    for client in options["clients"]:
        Application.objects.create(
            client_id=client["client_id"],
            client_secret=client["client_secret"],
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=grants[client["grant_type"]],
        )
    for person in options["people"]:
        User.objects.create_user(username=person["username"], password=person["password"])


def token_request_log(get_response):
    """Answers `GET /test/token-requests` with what the token endpoint was asked and how it answered, in the order of
    the answers and without any token, password or secret."""
    requests = []

    def log_token_requests(request):
        if request.method == "GET" and request.path == "/test/token-requests":
            return JsonResponse(requests, safe=False)
        response = get_response(request)
        if request.method == "POST" and request.path == "/token/":
            requests.append(
                {
                    "grant_type": request.POST.get("grant_type", ""),
                    "status": response.status_code,
                    "error": None if response.status_code == 200 else error_code(response.content),
                }
            )
        return response

    return log_token_requests


def error_code(body):
    try:
        return json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        return None


def in_one_thread(executor, application):
    """An in-memory database belongs to the connection, and so to the thread, that made it. Connections to clients still
    have a thread each: one of them idle holds nobody up."""
    return lambda environ, start_response: executor.submit(application, environ, start_response).result()


def end_with_standard_input():
    sys.stdin.read()
    os._exit(0)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    port = arguments.parse_args().port

    options = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    executor = ThreadPoolExecutor(max_workers=1)
    configure(options)
    executor.submit(register, options).result()

    try:
        server = ThreadedWSGIServer(("127.0.0.1", port), WSGIRequestHandler)
    except OSError as error:
        print(error, file=sys.stderr)
        return PORT_IS_TAKEN if error.errno == errno.EADDRINUSE else 1
    server.set_app(in_one_thread(executor, get_wsgi_application()))
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
