"""Where every billed second goes: to a job, a cold start, idle time, or a start that failed.

`meter` counts a VM's open interval and closes it; `allocation` says which job bears which seconds.
"""
