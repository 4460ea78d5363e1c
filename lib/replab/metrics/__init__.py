"""Metrics: functions of arrays; they know no data set and no paper."""
