"""Signing in and out."""

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import sessions
from accounts.forms import LoginForm
from accounts.onward import onward


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    there = onward(request)
    if request.user.is_authenticated:
        return redirect(there)
    form = LoginForm(request, request.POST or None)
    if not form.is_valid() or form.user is None:
        context = {"form": form, "next": there, "sso": settings.OIDC_ISSUER and settings.OIDC_NAME}
        page = render(request, "accounts/login.html", context, status=form.refused.status if form.refused else 200)
        for name, value in form.refused.headers.items() if form.refused else ():
            page[name] = value
        return page
    login = Login(user=form.user, redirect_url=there, email=form.user.email)
    next_step: HttpResponse = perform_password_login(request, {"email": form.user.email}, login)
    return next_step


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    sessions.closed(request)
    logout(request)
    answer = redirect(settings.LOGIN_URL)
    answer.headers["Clear-Site-Data"] = '"storage"'  # what was copied in the editor
    return answer
