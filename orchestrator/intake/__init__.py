"""What strangers send is read here and nowhere else, and never in the app's own process.

`decoders` keeps the processes that read bodies and images (`child` is what runs in one), `urls`
fetches what a URL names, `admission` counts what waits.
"""
