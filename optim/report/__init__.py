"""What a fit leaves on disk: tables, figures and pages."""
