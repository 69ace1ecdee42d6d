"""The Grafana dashboards, made in code so that every query, unit and threshold has one form."""
