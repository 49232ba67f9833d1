"""The web app's parts: what it allows (settings, guard), what it shows, what programs call."""
