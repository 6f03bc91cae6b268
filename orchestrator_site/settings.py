"""Django's settings, read from the environment once (`env.py`); README and docs/operations list them."""

import secrets
from pathlib import Path
from typing import Any

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from orchestrator_site import env, in_clear, log_sending, production
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
if PRODUCTION:
    production.refuse_weak(SECRET_KEY, ENCRYPTION_KEYS, BASE_URL)
TRUSTED_PROXIES = env.networks("BATON_TRUSTED_PROXIES")

WORKER_CONCURRENCY = env.integer("BATON_WORKER_CONCURRENCY", 200, 1, 5000)
LEASE_SECONDS = env.integer("BATON_LEASE_SECONDS", 30, 2, 600)
DRAIN_SECONDS = env.integer("BATON_DRAIN_SECONDS", 10, 0, 3_600)
API_REQUESTS_PER_MINUTE = env.integer("BATON_API_REQUESTS_PER_MINUTE", 3_000, 0, 1_000_000)
EGRESS_ALLOW = env.items("BATON_EGRESS_ALLOW")
EGRESS_ONLY = env.hosts("BATON_EGRESS_ONLY")
PRIVATE_NETWORK = env.hosts("BATON_PRIVATE_NETWORK")
DEMO_LATENCY_MS = env.integer("BATON_DEMO_LATENCY_MS", 600, 0, 60_000)
SAMPLE_PASSWORD = env.text("BATON_SAMPLE_PASSWORD")
SAMPLE_TOKEN = env.text("BATON_SAMPLE_TOKEN")
METRICS_ALLOW = env.networks("BATON_METRICS_ALLOW")
AUDIT_HEADS = env.url("BATON_AUDIT_HEADS", "", ("file", "http", "https"))
SCANNER = env.socket("BATON_SCANNER")
LOG_FORMAT = env.choice("BATON_LOG_FORMAT", "line", ("line", "json"))
SYSLOG = env.url("BATON_SYSLOG", "", log_sending.SCHEMES)
if SYSLOG:
    log_sending.place(SYSLOG)
EMAIL_URL = env.url("EMAIL_URL", "console:", ("console", "file", "smtp", "smtps"))
SECOND_FACTOR = env.choice("BATON_SECOND_FACTOR", "optional", ("optional", "required"))
SIGNATURES = env.choice("BATON_SIGNATURES", "usual", ("usual", "strong"))
OIDC_ISSUER = env.url("BATON_OIDC_ISSUER", "", ("http", "https")).rstrip("/")
OIDC_CLIENT_ID = env.text("BATON_OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("BATON_OIDC_CLIENT_SECRET")
OIDC_NAME = env.text("BATON_OIDC_NAME", "single sign-on")
OIDC_DOMAINS = frozenset(domain.lower() for domain in env.items("BATON_OIDC_DOMAINS"))
OIDC_EMAIL = env.choice("BATON_OIDC_EMAIL", "verified", ("verified", "trusted"))
OIDC_MAX_AGE = env.integer("BATON_OIDC_MAX_AGE", 0, 0, 31_536_000)
OIDC_NEW_PEOPLE = env.choice(
    "BATON_OIDC_NEW_PEOPLE", "invited", ("invited", "viewer", "composer", "reviewer", "manager")
)
OIDC_WORKSPACE = env.text("BATON_OIDC_WORKSPACE")
if OIDC_ISSUER and not (OIDC_CLIENT_ID and OIDC_CLIENT_SECRET):
    raise ImproperlyConfigured("BATON_OIDC_ISSUER needs BATON_OIDC_CLIENT_ID and BATON_OIDC_CLIENT_SECRET beside it.")
if OIDC_ISSUER.startswith("http:") and PRODUCTION:
    raise ImproperlyConfigured("BATON_OIDC_ISSUER must be an https:// address when BATON_ENV=production.")
if OIDC_NEW_PEOPLE != "invited" and not (OIDC_DOMAINS and OIDC_WORKSPACE):
    raise ImproperlyConfigured(
        "BATON_OIDC_NEW_PEOPLE lets strangers in. Set BATON_OIDC_DOMAINS and BATON_OIDC_WORKSPACE too."
    )
OTLP_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", "", ("http", "https")).rstrip("/")
OTLP_HEADERS = env.pairs("OTEL_EXPORTER_OTLP_HEADERS", env.items("OTEL_EXPORTER_OTLP_HEADERS"))
OTLP_PROTOCOL = env.choice("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", ("http/protobuf", "http/json"))
OTLP_SERVICE_NAME = env.text("OTEL_SERVICE_NAME", "baton")
OTLP_CONTENT = env.choice("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "false", ("false", "true")) == "true"
PROVIDER_ENV = {
    "openai": (env.text("OPENAI_API_KEY"), env.text("OPENAI_BASE_URL")),
    "anthropic": (env.text("ANTHROPIC_API_KEY"), env.text("ANTHROPIC_BASE_URL")),
    "google": (env.text("GEMINI_API_KEY"), env.text("GEMINI_BASE_URL")),
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "channels",
    "django_htmx",
    "ninja",
    "accounts",
    "pipelines",
    "runs",
    "approvals",
    "evals",
    "notices",
    "orchestrator_site",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.content_policy.ContentPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.WorkspaceMiddleware",
]

ROOT_URLCONF = "orchestrator_site.urls"
ASGI_APPLICATION = "orchestrator_site.asgi.application"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
# allauth leads through the steps of a sign-in; the forms, the throttle and the people are ours (accounts/door.py).
ACCOUNT_ADAPTER = "accounts.door.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_ADAPTER = "orchestrator_site.outgoing.SocialAdapter"
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": []}}
if OIDC_ISSUER:
    SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"] = [
        {
            "provider_id": "sso",
            "name": OIDC_NAME,
            "client_id": OIDC_CLIENT_ID,
            "secret": OIDC_CLIENT_SECRET,
            "settings": {"server_url": OIDC_ISSUER},
        }
    ]
MFA_ADAPTER = "accounts.second_factor.Adapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn"]  # recovery codes are ours: accounts/recovery_codes.py
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Baton"
MFA_TOTP_TOLERANCE = 0
MFA_RATE_LIMITS = False  # a passkey cannot be guessed; codes are counted by accounts/second_factor.py
MFA_FORMS = {
    "authenticate": "accounts.second_factor.CodeForm",
    "reauthenticate": "accounts.second_factor.CodeAgainForm",
    "activate_totp": "accounts.second_factor.NewAppForm",
    "add_webauthn": "accounts.passkeys.NewPasskeyForm",
    "authenticate_webauthn": "accounts.passkeys.PasskeyForm",
    "login_webauthn": "accounts.passkeys.PasskeyAloneForm",
    "reauthenticate_webauthn": "accounts.passkeys.PasskeyAgainForm",
}
ACCOUNT_FORMS = {"reauthenticate": "accounts.second_factor.PasswordAgainForm"}
ACCOUNT_RATE_LIMITS = False  # accounts/attempts.py counts in the database, for all processes together
PASSWORD_RESET_TIMEOUT = 600
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.known_passwords.NoKnownPassword"},
    {"NAME": "accounts.password_words.NoWordsOfThisPlace"},
]
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
# What doctor looks for: without the variable, the web takes its own role by itself.
WEB_ACTS_AS_OWNER = env.text("BATON_DATABASE_ROLE") == "owner"
DATABASE_LOGINS = env.choice("BATON_DATABASE_LOGINS", "password", ("password", "certificate"))
DATABASE_PASSWORDS = {
    "baton_web": env.text("BATON_WEB_DATABASE_PASSWORD"),
    "baton_worker": env.text("BATON_WORKER_DATABASE_PASSWORD"),
}
DATABASE_URL = env.url("DATABASE_URL", "", ("postgres", "postgresql")) or addresses.postgres_url(DATA_DIR)
DATABASES = {"default": addresses.django_database(DATABASE_URL, DATABASE_ROLE)}
if DATABASE_LOGINS == "certificate" and any(DATABASE_PASSWORDS.values()):
    raise ImproperlyConfigured(
        "BATON_DATABASE_LOGINS=certificate lets nobody in by a password: leave BATON_WEB_DATABASE_PASSWORD and "
        "BATON_WORKER_DATABASE_PASSWORD out."
    )
if PRODUCTION:
    production.refuse_weak_logins(DATABASE_PASSWORDS, DATABASES["default"]["PASSWORD"])
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

if PRODUCTION:
    in_clear.refuse_listening(HOST, PRIVATE_NETWORK)
    in_clear.refuse(
        {
            "DATABASE_URL": DATABASE_URL,
            "CELERY_BROKER_URL": CELERY_BROKER_URL,
            "CHANNEL_LAYER_URL": CHANNEL_LAYER_URL,
            "EMAIL_URL": EMAIL_URL,
            "BATON_AUDIT_HEADS": AUDIT_HEADS,
            "BATON_SYSLOG": SYSLOG,
            "BATON_SCANNER": SCANNER,
            "OTEL_EXPORTER_OTLP_ENDPOINT": OTLP_ENDPOINT,
        },
        PRIVATE_NETWORK,
    )

# Celery prefers the variable CELERY_BROKER_URL to the setting; these two it prefers to both.
CELERY_BROKER_READ_URL, CELERY_BROKER_USE_SSL = in_clear.broker(CELERY_BROKER_URL)
CELERY_BROKER_WRITE_URL = CELERY_BROKER_READ_URL
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

SESSION_ENGINE = "accounts.session_store"
SESSION_COOKIE_AGE = env.integer("BATON_SESSION_IDLE_HOURS", 336, 1, 8_760) * 3_600
TOKEN_DAYS = env.integer("BATON_TOKEN_DAYS", 365, 1, 3_650)
SESSION_DAYS = env.integer("BATON_SESSION_DAYS", 30, 1, 365)
# The prefix has browsers take them over HTTPS alone, and from no other host below the same domain.
_COOKIE_PREFIX = "__Host-" if PRODUCTION else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME, THEME_COOKIE = (
    f"{_COOKIE_PREFIX}{name}" for name in ("sessionid", "csrftoken", "theme")
)
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = PRODUCTION
# What asks these stands beside the web, without the proxy that brings HTTPS.
# Programs are not led to HTTPS but refused: what they sent was sent in the clear, and has to be noticed.
OF_PROGRAMS = ("/api/", "/mcp", "/hooks/")
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$", *(f"^{path[1:]}" for path in OF_PROGRAMS)]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PRODUCTION else None
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# Scripts run by the nonce of their page alone, not by where they come from: a file of ours that injected markup names
# does not run. 'strict-dynamic' hands the nonce's trust on to what those scripts import or insert, as modules do.
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
        "report-uri": "/csp-reports",
    }
}

SILENCED_SYSTEM_CHECKS: list[str] = []
_LOG_FILTERS = ["links", "actor"]
_LOG_SERVER: dict[str, Any] = {
    "()": "orchestrator_site.syslog.SyslogHandler",
    "address": SYSLOG,
    "name": "baton" if DATABASE_ROLE == "owner" else DATABASE_ROLE.replace("_", "-"),
    "filters": _LOG_FILTERS,
}
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "orchestrator_site.logs.LineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
        "json": {"()": "orchestrator_site.json_logs.JsonFormatter"},
    },
    "filters": {
        "links": {"()": "orchestrator_site.logs.MaskLinks"},
        "actor": {"()": "orchestrator_site.logs.NameActor"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": _LOG_FILTERS},
        **({"syslog": _LOG_SERVER} if SYSLOG else {}),
    },
    "root": {"handlers": ["stderr", *(["syslog"] if SYSLOG else [])], "level": "INFO" if PRODUCTION else "WARNING"},
    "loggers": {
        "baton": {"level": "INFO"},
        # What stands in the audit log is said to a log server alone.
        "baton.audited": {"handlers": ["syslog"], "propagate": False} if SYSLOG else {"level": "CRITICAL"},
        # The MCP client writes what it could not read, which is a server's text, with a traceback.
        "mcp": {"level": "CRITICAL"},
    },
}
