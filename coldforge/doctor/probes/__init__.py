"""The effects of the doctor: the only code of the client that speaks to Azure.

Beyond virtual machines, blobs and tables it asks Azure's REST interfaces by hand: half a dozen
reads are not worth four more of Azure's management packages in everybody's lock.
"""
