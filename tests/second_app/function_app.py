"""A parcel depot: one blueprint for each of the patterns that Microsoft describes for Durable.

Nothing in here knows the local host or Coldforge. The names, the routes, the route prefix, the
task hub and the layout are those of another team, on purpose.
"""

import azure.functions as func
from counter import counter
from fan_out import fan_out
from human import human
from long_running import long_running
from monitor import monitor
from sequence import sequence

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for blueprint in (sequence, fan_out, long_running, monitor, human, counter):
    app.register_functions(blueprint)
