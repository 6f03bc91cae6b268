"""The addresses of this app's pages."""

from allauth.mfa.base import views as factor
from allauth.mfa.totp import views as app_codes
from allauth.mfa.webauthn import views as passkeys
from django.urls import path

from accounts import (
    account,
    arriving,
    audit_views,
    new_password,
    people,
    secret_pages,
    single_sign_on,
    token_pages,
    views,
    violation_views,
)

urlpatterns = [
    path("login/", views.sign_in, name="account_login"),
    path("login/with/<slug:provider_id>/", single_sign_on.begin, name="openid_connect_login"),
    path("login/with/<slug:provider_id>/callback/", single_sign_on.end, name="openid_connect_callback"),
    path("audit/", audit_views.audit_page, name="audit"),
    path("audit.csv", audit_views.audit_sheet, name="audit-csv"),
    path("csp-reports", violation_views.take, name="csp-reports"),
    path("violations/", violation_views.page, name="violations"),
    path("login/code/", factor.authenticate, name="mfa_authenticate"),
    path("login/passkey/", passkeys.login_webauthn, name="mfa_login_webauthn"),
    path("login/again/", account.password_again, name="account_reauthenticate"),
    path("login/again/code/", factor.reauthenticate, name="mfa_reauthenticate"),
    path("login/again/passkey/", passkeys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("invitations/<uuid:invitation_id>/<str:mark>/", arriving.invitation, name="invitation"),
    path("password/forgot/", arriving.forgot, name="forgot"),
    path("password/new/<uuid:user_id>/<str:token>/", arriving.new_password, name="new-password"),
    path("people/", people.page, name="people"),
    path("people/invite/", people.invite, name="people-invite"),
    path("people/remove/", people.remove, name="people-remove"),
    path("people/content/", people.hide_content, name="people-content"),
    path("people/deactivate/", people.deactivate, name="people-deactivate"),
    path("people/activate/", people.activate, name="people-activate"),
    path("people/invitations/<uuid:invitation_id>/withdraw/", people.withdraw, name="people-withdraw"),
    path("account/", account.page, name="mfa_index"),
    path("account/password/", new_password.change, name="change-password"),
    path("account/tokens/", token_pages.page, name="tokens"),
    path("account/tokens/new/", token_pages.new, name="new-token"),
    path("account/tokens/<uuid:token_id>/revoke/", token_pages.revoke, name="revoke-token"),
    path("account/app/", account.new_app, name="mfa_activate_totp"),
    path("account/app/off/", app_codes.deactivate_totp, name="mfa_deactivate_totp"),
    path("account/codes/", account.codes, name="recovery-codes"),
    path("account/codes/new/", account.new_codes, name="new-recovery-codes"),
    path("account/passkeys/new/", account.new_passkey, name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/remove/", account.remove_passkey, name="mfa_remove_webauthn"),
    path("account/sessions/end-others/", account.end_other_sessions, name="end-other-sessions"),
    path("account/sessions/<uuid:session_id>/end/", account.end_session, name="end-session"),
    path("connections/+secrets/", secret_pages.new, name="secret-new"),
    path("connections/+secrets/<slug:name>/", secret_pages.secret, name="secret"),
    path("connections/+secrets/<slug:name>/remove/", secret_pages.remove, name="secret-remove"),
    path("logout/", views.sign_out, name="account_logout"),
]
