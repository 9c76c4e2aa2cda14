"""The DNS of a cluster as far as headless Services go: `dns.py FILE` answers from lines of `NAME ADDRESS`, read for each question.

As CoreDNS does it: every address of a name in changing order, 5 s to live; a name that is there without addresses is an empty
answer, one that is not is NXDOMAIN. Each question goes to stdout.
"""

import random
import sys
import time

from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import BaseResolver, DNSServer


class Records(BaseResolver):
    def __init__(self, path):
        self.path = path

    def resolve(self, request, handler):
        name = str(request.q.qname).rstrip(".").lower()
        with open(self.path) as file:
            lines = [line.split() for line in file]
        addresses = [line[1] for line in lines if line[0] == name and len(line) == 2]
        reply = request.reply()
        if not any(line[0] == name for line in lines):
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            for address in random.sample(addresses, len(addresses)):
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=5))
        print(QTYPE[request.q.qtype], name, RCODE[reply.header.rcode], len(reply.rr), flush=True)
        return reply


for tcp in (False, True):
    DNSServer(Records(sys.argv[1]), port=53, tcp=tcp).start_thread()
print("ready", flush=True)
while True:
    time.sleep(3600)
