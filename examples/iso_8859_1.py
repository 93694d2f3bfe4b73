"""With system_type "ISO" at bind, data_coding 0 means ISO-8859-1 instead of GSM 03.38."""

from esme import SYSTEM_ID, Esme

with Esme(system_type="ISO") as esme:
    esme.client.send_message(
        source_addr="EXAMPLE",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="79991234522",
        short_message="Grüße [für] dich".encode("latin-1"),
        data_coding=0,
        registered_delivery=1,
    )
    while not esme.accepted:
        esme.client.read_once()
    print(f"{SYSTEM_ID} <", *esme.wait(esme.accepted))
