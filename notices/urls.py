"""The addresses of this app's pages."""

from django.urls import path

from notices.views import alerts, inbox, settings

urlpatterns = [
    path("notices/", inbox.notices, name="notices"),
    path("notices/read/", inbox.read_all, name="notices-read"),
    path("notices/<uuid:notice_id>/read/", inbox.read, name="notice-read"),
    path("notices/<uuid:notice_id>/open/", inbox.follow, name="notice-open"),
    path("costs/alerts/", alerts.alert_list, name="alerts"),
    path("costs/alerts/+new/", alerts.alert, name="alert-new"),
    path("costs/alerts/<uuid:rule_id>/", alerts.alert, name="alert"),
    path("costs/alerts/<uuid:rule_id>/remove/", alerts.remove, name="alert-remove"),
    path("settings/notifications/", settings.preferences, name="preferences"),
    path("settings/notifications/deliveries/<int:delivery_id>/again/", settings.send_again, name="delivery-again"),
    path("settings/notifications/channels/", settings.add_channel, name="channel-add"),
    path("settings/notifications/channels/<slug:name>/test/", settings.try_channel, name="channel-test"),
    path("settings/notifications/channels/<slug:name>/remove/", settings.remove_channel, name="channel-remove"),
]
