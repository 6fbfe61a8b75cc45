#!/usr/bin/env python3
"""Records programs/xdp-count/capture.pcap: real traffic between two network namespaces of this script's own.

Needs root, iproute2, tcpdump, python3. Nothing outside the two namespaces is touched, both are removed at the
end. Usage: sudo python3 scripts/record-capture.py [OUTPUT.pcap]

`left` holds the servers (10.77.0.1, fd77::1), `right` the clients (10.77.0.2, fd77::2; 10.77.0.66 stands on the program's deny
list). tcpdump listens on left's end of the veth pair. Frames that no ordinary program sends (VLAN tags, QinQ, SCTP, GRE, VXLAN, fragments,
cut headers) are crafted by hand and sent through a raw AF_PACKET socket. Three tcpdumps record at once with a snap length of
full size, 40 bytes and 10 bytes; a few records of the short ones are put behind the full ones, so that the file has frames cut
inside the IP and TCP headers and frames of less than an Ethernet header.
"""
import array
import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OUTPUT = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] not in ("servers", "raw", "clients", "plain") else "programs/xdp-count/capture.pcap"
LEFT, RIGHT = f"cap-left-{os.getpid()}", f"cap-right-{os.getpid()}"


def run(*command, check=True):
    return subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def inside(namespace, *command, check=True):
    return run("ip", "netns", "exec", namespace, *command, check=check)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# ---- the servers' side, inside `left`


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = {"/small": 64, "/page": 2000, "/large": 12000}.get(self.path, 0)
        self.send_response(200 if size else 404)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(b"x" * size)

    def log_message(self, *_):
        pass


ZONE = {("web.example", 1): bytes([10, 77, 0, 1]), ("web.example", 28): socket.inet_pton(socket.AF_INET6, "fd77::1")}


def resolver(family, address):
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        query, client = server.recvfrom(512)
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += query[at] + 1
        kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
        question = query[12 : at + 5]
        data = ZONE.get((".".join(labels), kind))
        flags, answers = (0x8580, 1) if data else (0x8583, 0)
        reply = struct.pack("!2sHHHHH", query[:2], flags, 1, answers, 0, 0) + question
        if data:
            reply += struct.pack("!HHHIH", 0xC00C, kind, 1, 300, len(data)) + data
        server.sendto(reply, client)


def servers():
    for family, address in ((socket.AF_INET, "10.77.0.1"), (socket.AF_INET6, "fd77::1")):
        threading.Thread(target=resolver, args=(family, address), daemon=True).start()

    class V6(ThreadingHTTPServer):
        address_family = socket.AF_INET6

    threading.Thread(target=ThreadingHTTPServer(("10.77.0.1", 80), Page).serve_forever, daemon=True).start()
    threading.Thread(target=V6(("fd77::1", 80), Page).serve_forever, daemon=True).start()
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    echo.bind(("10.77.0.1", 7))
    print("ready", flush=True)
    while True:
        data, client = echo.recvfrom(2048)
        echo.sendto(data, client)


# ---- the clients' side, inside `right`


def query(family, server, name, kind, number):
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(2)
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    client.sendto(struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1), (server, 53))
    client.recv(512)


def ping(server, count, size=56, source=None):
    version6 = ":" in server
    family, protocol, kind = (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128) if version6 else (socket.AF_INET, 1, 8)
    client = socket.socket(family, socket.SOCK_RAW, protocol)
    client.settimeout(1)
    if source:
        client.bind((source, 0))
    for number in range(count):
        echo = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, number) + bytes(i & 255 for i in range(size))
        if not version6:  # over IPv6 the kernel fills it in
            echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
        client.sendto(echo, (server, 0))
        try:
            client.recv(4096)
        except (TimeoutError, OSError):
            pass
        time.sleep(0.02)


def clients():
    ping("10.77.0.1", 8)
    ping("10.77.0.1", 4, 1400)
    ping("10.77.0.1", 4, source="10.77.0.66")
    ping("10.77.0.9", 2)  # nobody: ARP without an answer
    ping("fd77::1", 6)
    ping("10.77.0.1", 2, 3000)  # fragments
    number = 1
    for name in ("web.example", "missing.example", "web.example", "a.very.long.name.of.many.labels.example"):
        for kind in (1, 28):
            query(socket.AF_INET, "10.77.0.1", name, kind, number)
            number += 1
    for name in ("web.example", "other.example"):
        query(socket.AF_INET6, "fd77::1", name, 28, number)
        number += 1
    for url in ("http://10.77.0.1/small", "http://10.77.0.1/page", "http://10.77.0.1/none", "http://[fd77::1]/page"):
        try:
            urllib.request.urlopen(url, timeout=3).read()
        except urllib.error.HTTPError:
            pass
    urllib.request.urlopen("http://10.77.0.1/large", timeout=3).read()
    # a request from the denied address, a refused connection, datagrams
    denied = socket.create_connection(("10.77.0.1", 80), 3, source_address=("10.77.0.66", 0))
    denied.sendall(b"GET /small HTTP/1.0\r\n\r\n")
    while denied.recv(4096):
        pass
    denied.close()
    try:
        socket.create_connection(("10.77.0.1", 81), 2)
    except ConnectionRefusedError:
        pass
    for source in ("10.77.0.2", "10.77.0.66"):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.bind((source, 0))
        client.settimeout(2)
        for size in (0, 1, 100, 1400):
            client.sendto(b"d" * size, ("10.77.0.1", 7))
            client.recv(2048)
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closed.sendto(b"nobody listens", ("10.77.0.1", 9))


# ---- crafted frames, sent from `right` through a raw socket


def ipv4(protocol, body, source="10.77.0.2", options=b"", fragment=0, length=None):
    header_length = 20 + len(options)
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | header_length // 4, 0, length or header_length + len(body), 7, fragment, 64, protocol, 0,
        socket.inet_aton(source), socket.inet_aton("10.77.0.1"),
    ) + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body


def udp(port, body):
    return struct.pack("!HHHH", 40000, port, 8 + len(body), 0) + body


def crafted(destination, source):
    def ether(kind, body):
        return destination + source + struct.pack("!H", kind) + body

    tag = lambda number, kind: struct.pack("!HH", number, kind)  # noqa: E731
    inner = ether(0x0800, ipv4(17, udp(9, b"inside")))
    v6 = lambda following, body: struct.pack("!IHBB", 6 << 28, len(body), following, 64) + socket.inet_pton(  # noqa: E731
        socket.AF_INET6, "fd77::2") + socket.inet_pton(socket.AF_INET6, "fd77::1") + body
    for number in range(4):
        echo = struct.pack("!BBHHH", 8, 0, 0, 77, number) + b"tagged " * 8
        echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
        yield ether(0x8100, tag(7, 0x0800) + ipv4(1, echo))
    yield ether(0x8100, tag(7, 0x0806) + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + source + socket.inet_aton("10.77.0.2")
                + bytes(6) + socket.inet_aton("10.77.0.1"))
    yield ether(0x8100, tag(7, 0x0800) + ipv4(6, struct.pack("!HHIIBBHHH", 40000, 80, 1, 0, 0x50, 2, 65535, 0, 0)))
    yield ether(0x8100, tag(7, 0x86DD) + v6(58, b"\x80\0\0\0\0\0\0\0"))
    yield ether(0x8100, tag(7, 0x0800) + ipv4(17, udp(9, b"tagged and denied"), source="10.77.0.66"))
    yield ether(0x88A8, tag(100, 0x8100) + tag(7, 0x0800) + ipv4(17, udp(9, b"two tags")))
    yield ether(0x88A8, tag(100, 0x8100) + tag(7, 0x86DD) + v6(17, udp(9, b"two tags")))
    yield ether(0x0800, ipv4(132, struct.pack("!HHII", 40000, 3868, 1, 0) + b"\0\0\0\4"))
    yield ether(0x0800, ipv4(47, struct.pack("!HH", 0, 0x0800) + ipv4(1, b"\10\0\0\0\0\0\0\0")))
    yield ether(0x0800, ipv4(17, udp(4789, struct.pack("!II", 8 << 24, 42 << 8) + inner)))
    yield ether(0x0800, ipv4(17, udp(6081, struct.pack("!BBHI", 0, 0, 0x6558, 42 << 8) + inner)))
    yield ether(0x0800, ipv4(17, udp(9, b"options"), options=b"\x94\x04\0\0"))
    yield ether(0x0800, ipv4(17, udp(9, b"f" * 24)[:24], fragment=0x2000, length=44))
    yield ether(0x0800, ipv4(17, b"f" * 8, fragment=3))
    yield ether(0x86DD, v6(0, struct.pack("!BB", 58, 0) + b"\1\4\0\0\0\0" + b"\x80\0\0\0\0\0\0\0"))
    yield ether(0x86DD, v6(44, struct.pack("!BBHI", 17, 0, 1, 9) + udp(9, b"f" * 8)))
    yield ether(0x0800, ipv4(17, udp(9, b"denied"), source="10.77.0.66"))
    yield ether(0x0800, ipv4(2, b"\x16\0\0\0\xe0\0\0\xfb"))
    yield ether(0x88B5, b"local experiment")
    # cut headers: 15 B, an IP header of 10 B, a TCP header of 6 B, a total length beyond the end, a wrong version
    yield ether(0x0800, b"\x45")
    yield ether(0x0800, ipv4(6, b"")[:10])
    yield ether(0x0800, ipv4(6, b"\x9c\x40\0\x50\0\0"))
    yield ether(0x0800, ipv4(17, udp(9, b"short"), length=1500))
    yield ether(0x0800, b"\x65" + ipv4(17, udp(9, b""))[1:])
    yield ether(0x86DD, v6(17, udp(9, b"cut"))[:30])
    yield ether(0x8100, tag(7, 0x0800)[:3])
    yield ether(0x0800, b"")


def plain():
    """Turns the offloads of an interface off, so that the capture has whole checksums and frames as on a wire."""
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for command in (0x17, 0x15, 0x1F, 0x24, 0x2C):  # ETHTOOL_STXCSUM, SRXCSUM, STSO, SGSO, SGRO
        value = array.array("B", struct.pack("II", command, 0))
        request = struct.pack("16sP", sys.argv[2].encode(), value.buffer_info()[0])
        try:
            fcntl.ioctl(control, 0x8946, request)
        except OSError:
            pass


def raw():
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("cap-r", 0))
    destination = bytes.fromhex(sys.argv[2].replace(":", ""))
    for frame in crafted(destination, bytes.fromhex(sys.argv[3].replace(":", ""))):
        sender.send(frame)
        time.sleep(0.01)


# ---- the conductor


def records(path):
    data = open(path, "rb").read()
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack("<I", data[at + 8 : at + 12])[0]
        yield data[at : at + 16 + size]
        at += 16 + size


def main():
    me = os.path.abspath(__file__)
    work = tempfile.mkdtemp()
    children = []
    try:
        run("ip", "netns", "add", LEFT)
        run("ip", "netns", "add", RIGHT)
        run("ip", "link", "add", "cap-l", "netns", LEFT, "type", "veth", "peer", "name", "cap-r", "netns", RIGHT)
        macs = {LEFT: "02:00:00:00:77:01", RIGHT: "02:00:00:00:77:02"}
        for namespace, name, number in ((LEFT, "cap-l", "1"), (RIGHT, "cap-r", "2")):
            inside(namespace, "ip", "link", "set", name, "address", macs[namespace])
            inside(namespace, sys.executable, me, "plain", name)
            inside(namespace, "ip", "link", "set", name, "up")
        full = {}
        for label, snap in (("full", "65535"), ("40", "40"), ("10", "10")):
            full[label] = os.path.join(work, f"{label}.pcap")
            children.append(subprocess.Popen(
                ["ip", "netns", "exec", LEFT, "tcpdump", "-i", "cap-l", "-U", "-s", snap, "-w", full[label], "-Z", "root"],
                stderr=subprocess.DEVNULL))
        # addresses come while it listens, so that neighbour discovery is seen
        time.sleep(1)
        for namespace, name, number in ((LEFT, "cap-l", "1"), (RIGHT, "cap-r", "2")):
            inside(namespace, "ip", "addr", "add", f"10.77.0.{number}/24", "dev", name)
            inside(namespace, "ip", "addr", "add", f"fd77::{number}/64", "dev", name)
            inside(namespace, "ip", "link", "set", "lo", "up")
        inside(RIGHT, "ip", "addr", "add", "10.77.0.66/24", "dev", "cap-r")
        time.sleep(2.5)
        server = subprocess.Popen(["ip", "netns", "exec", LEFT, sys.executable, me, "servers"], stdout=subprocess.PIPE)
        children.append(server)
        server.stdout.readline()
        inside(RIGHT, sys.executable, me, "clients")
        inside(RIGHT, sys.executable, me, "raw", macs[LEFT], macs[RIGHT])
        time.sleep(1)
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait()
        for namespace in (LEFT, RIGHT):
            run("ip", "netns", "del", namespace, check=False)
    header = open(full["full"], "rb").read(24)
    everything = list(records(full["full"]))
    forty = [record for record in records(full["40"]) if len(record) == 56]
    ten = list(records(full["10"]))
    with open(OUTPUT, "wb") as out:
        out.write(header + b"".join(everything) + b"".join(forty[10:130:10]) + b"".join(ten[5:65:10]))
    print(f"{OUTPUT}: {len(everything)} whole frames, {len(forty[10:130:10])} cut to 40 bytes, {len(ten[5:65:10])} cut to 10 bytes")


if __name__ == "__main__":
    modes = {"servers": servers, "clients": clients, "plain": plain, "raw": raw}
    modes.get(sys.argv[1] if len(sys.argv) > 1 else "", main)()
