"""Localization heads (Sec. 4): criteria, ranking, discovery, report. It knows no presets."""
