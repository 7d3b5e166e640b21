"""What reaches whoever is on call: alerts, their pages, dashboards."""
