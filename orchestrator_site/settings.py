"""Django's settings, read from the environment once (`env.py`); README and docs/operations list them."""

import secrets
from pathlib import Path
from typing import Any

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from orchestrator_site import env
from orchestrator_site.embedded import addresses

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.path("BATON_DATA_DIR", BASE_DIR / ".data")
PRODUCTION = env.choice("BATON_ENV", "development", ("development", "production")) == "production"
DEBUG = False

SECRET_KEY = env.text("SECRET_KEY")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured("SECRET_KEY is required when BATON_ENV=production. Set 50 random characters.")
    SECRET_KEY = addresses.kept_secret(DATA_DIR, "secret-key", lambda: secrets.token_urlsafe(50))
ENCRYPTION_KEYS = env.items("BATON_ENCRYPTION_KEYS")

HOST = env.text("BATON_HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, 1, 65535)
BASE_URL = env.url("BATON_BASE_URL", f"http://{HOST}:{PORT}", ("http", "https")).rstrip("/")
ALLOWED_HOSTS = ["*"] if not PRODUCTION else [BASE_URL.split("://", 1)[1].split(":")[0].split("/")[0], "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = [BASE_URL]

WORKER_CONCURRENCY = env.integer("BATON_WORKER_CONCURRENCY", 200, 1, 5000)
LEASE_SECONDS = env.integer("BATON_LEASE_SECONDS", 30, 2, 600)
EGRESS_ALLOW = env.items("BATON_EGRESS_ALLOW")
DEMO_LATENCY_MS = env.integer("BATON_DEMO_LATENCY_MS", 600, 0, 60_000)
SAMPLE_PASSWORD = env.text("BATON_SAMPLE_PASSWORD")
SAMPLE_TOKEN = env.text("BATON_SAMPLE_TOKEN")
EMAIL_URL = env.url("EMAIL_URL", "console:", ("console", "file", "smtp", "smtps"))
PROVIDER_ENV = {
    "openai": (env.text("OPENAI_API_KEY"), env.text("OPENAI_BASE_URL")),
    "anthropic": (env.text("ANTHROPIC_API_KEY"), env.text("ANTHROPIC_BASE_URL")),
    "google": (env.text("GEMINI_API_KEY"), env.text("GEMINI_BASE_URL")),
}

INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "django_htmx",
    "ninja",
    "accounts",
    "pipelines",
    "runs",
    "approvals",
    "orchestrator_site",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.WorkspaceMiddleware",
]

ROOT_URLCONF = "orchestrator_site.urls"
ASGI_APPLICATION = "orchestrator_site.asgi.application"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "orchestrator_site.shell.shell",
            ],
            "builtins": ["orchestrator_site.templatetags.baton"],
        },
    }
]

DATABASE_ROLE = env.choice("BATON_DATABASE_ROLE", "owner", ("owner", "baton_web", "baton_worker"))
DATABASES = {
    "default": addresses.django_database(
        env.url("DATABASE_URL", "", ("postgres", "postgresql")) or addresses.postgres_url(DATA_DIR), DATABASE_ROLE
    )
}
DATABASES["default"]["TEST"] = {"NAME": env.text("BATON_TEST_DB") or None}
CELERY_BROKER_URL = env.url(
    "CELERY_BROKER_URL", "", ("redis", "rediss", "redis+socket", "amqp", "amqps")
) or addresses.broker_url(DATA_DIR)
CHANNEL_LAYER_URL = env.url("CHANNEL_LAYER_URL", "", ("redis", "rediss", "unix")) or addresses.channel_layer_url(
    DATA_DIR
)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [CHANNEL_LAYER_URL], "prefix": "baton"},
    }
}

CELERY_IMPORTS = ["runs.execution.signals"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "baton"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 16

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "staticfiles"
# Until assets are collected (tests, make dev) they are served from static/ as they are now.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not (STATIC_ROOT / "staticfiles.json").exists()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "orchestrator_site.assets.HashedStorage"},
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = PRODUCTION
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PRODUCTION else None
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [NONCE, "'strict-dynamic'"],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

SILENCED_SYSTEM_CHECKS: list[str] = []
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "orchestrator_site.logs.LineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO" if PRODUCTION else "WARNING"},
    # The MCP client writes what it could not read, which is a server's text, with a traceback.
    "loggers": {"baton": {"level": "INFO"}, "mcp": {"level": "CRITICAL"}},
}
