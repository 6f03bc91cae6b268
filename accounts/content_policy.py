"""The content policy of every page, and where browsers report what it forbade."""

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

GROUP = "content-policy"
ENDPOINTS = f'{GROUP}="/csp-reports"'


class ContentPolicyMiddleware(CSPMiddleware):
    """Has browsers report to `report-to` over HTTPS, else to `report-uri`.

    Over http browsers take no endpoint for `report-to`, and those that know it leave `report-uri` out beside it: what
    they had to say would be lost.
    """

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        if request.is_secure() and not report_only:
            parts.update = {**(parts.update or {}), "report-to": GROUP}
        return parts

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        answer: HttpResponseBase = super().process_response(request, response)
        if request.is_secure():
            answer.headers["Reporting-Endpoints"] = ENDPOINTS
        return answer
