"""What the settings of an installation let triggers ask for."""

from perdure_common.settings import Settings

from .hook_settings import HookCaps


def caps_of(settings: Settings) -> HookCaps:
    """Return the caps of the settings; what holds for those that ask for nothing may be asked for.

    Where paths take any number of requests, or the cap is 0, a trigger may ask for any.
    """
    rate = 0
    if settings.hooks_per_minute and settings.hooks_per_minute_cap:
        rate = max(settings.hooks_per_minute, settings.hooks_per_minute_cap)
    body_bytes = max(settings.hooks_bytes_max, settings.hooks_bytes_cap)
    return HookCaps(rate, body_bytes, settings.topic_prefix)
