"""Servers and clients of protocols that the mesh carries: `servers.py serve` runs the servers, `servers.py KIND HOST:PORT` is
a client that fails with what is wrong, and says how much it has sent."""

import asyncio
import pathlib
import smtplib
import socket
import statistics
import sys
import threading
import time

import grpc
import websockets
from aiosmtpd.controller import Controller

MEBIBYTE = 1 << 20


def expect(holds, what):
    if not holds:
        sys.exit(f"not so: {what}")


# gRPC, without generated code: messages are bytes. Clients are told in the trailer `seen` how many messages arrived.


class Echo(grpc.GenericRpcHandler):
    cancelled = threading.Event()

    def service(self, call):
        return {
            "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/test.Echo/Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "/test.Echo/Repeat": grpc.unary_stream_rpc_method_handler(self.repeat),
            "/test.Echo/Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "/test.Echo/Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "/test.Echo/Cancelled": grpc.unary_unary_rpc_method_handler(self.was_cancelled),
            "/test.Echo/Refuse": grpc.unary_unary_rpc_method_handler(self.refuse),
        }.get(call.method)

    def unary(self, request, context):
        context.set_trailing_metadata((("seen", "1"),))
        return request

    def collect(self, requests, context):
        sizes = [len(request) for request in requests]
        context.set_trailing_metadata((("seen", str(len(sizes))),))
        return str(sum(sizes)).encode()

    def repeat(self, request, context):
        for _ in range(10):
            yield request

    def talk(self, requests, context):
        yield from requests

    def hang(self, request, context):
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(30)
        return b"too late"

    def was_cancelled(self, request, context):
        return b"yes" if self.cancelled.wait(5) else b"no"

    def refuse(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "on purpose: 50 %")


LIMITS = [("grpc.max_receive_message_length", 16 * MEBIBYTE), ("grpc.max_send_message_length", 16 * MEBIBYTE)]


def grpc_server(port):
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(16), options=LIMITS)
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    return server


def grpc_client(address):
    with grpc.insecure_channel(address, options=LIMITS) as channel:
        unary = channel.unary_unary("/test.Echo/Unary")
        for size in [0, 1, 65_536, MEBIBYTE, 4 * MEBIBYTE]:
            answer, call = unary.with_call(b"x" * size, timeout=20)
            expect(len(answer) == size, f"{len(answer)} bytes of {size} came back")
            expect(("seen", "1") in call.trailing_metadata(), "the trailer arrives")
        collect = channel.stream_unary("/test.Echo/Collect")
        answer, call = collect.with_call((b"x" * 65_536 for _ in range(100)), timeout=20)
        expect(answer == b"6553600", f"the server got {answer} bytes")
        expect(("seen", "100") in call.trailing_metadata(), "100 messages were seen")
        answers = list(channel.unary_stream("/test.Echo/Repeat")(b"y" * MEBIBYTE, timeout=20))
        expect([len(one) for one in answers] == [MEBIBYTE] * 10, "ten times a mebibyte")
        # One message at a time: what is sent is not held back until there is more.
        answered = threading.Semaphore(0)

        def one_after_another():
            for number in range(50):
                yield str(number).encode()
                expect(answered.acquire(timeout=10), "each message is answered before the next is sent")

        talk = channel.stream_stream("/test.Echo/Talk")(one_after_another(), timeout=30)
        for number, answer in enumerate(talk):
            expect(answer == str(number).encode(), f"{answer} was the answer to {number}")
            answered.release()
        refused = channel.unary_unary("/test.Echo/Refuse").future(b"", timeout=5).exception()
        expect(refused.code() == grpc.StatusCode.FAILED_PRECONDITION, f"refused with {refused.code()}")
        expect(refused.details() == "on purpose: 50 %", f"refused because {refused.details()}")
        unknown = channel.unary_unary("/test.Echo/Unknown").future(b"", timeout=5).exception()
        expect(unknown.code() == grpc.StatusCode.UNIMPLEMENTED, f"unknown gives {unknown.code()}")
        late = channel.unary_unary("/test.Echo/Hang").future(b"", timeout=0.5).exception()
        expect(late.code() == grpc.StatusCode.DEADLINE_EXCEEDED, f"the deadline gives {late.code()}")
        told = channel.unary_unary("/test.Echo/Cancelled")(b"", timeout=10)
        expect(told == b"yes", "the server hears that the client has gone")
    print("all four kinds")


async def echo_websocket(socket):
    async for message in socket:
        await socket.send(message)


def websocket_client(address):
    async def talk():
        async with websockets.connect(f"ws://{address}/any", max_size=None) as socket:
            for message in ["", "text", b"\0\1", b"x" * 4 * MEBIBYTE]:
                await socket.send(message)
                expect(await socket.recv() == message, "the same comes back")
            for number in range(200):
                await socket.send(str(number))
            for number in range(200):
                expect(await socket.recv() == str(number), "in the same order")
            await asyncio.wait_for(await socket.ping(), 5)
        expect(socket.close_code == 1000, f"closed with {socket.close_code}")

    asyncio.run(talk())
    print("204 messages")


class Sink:
    async def handle_DATA(self, server, session, envelope):
        return f"250 {len(envelope.content)} bytes"


def smtp_client(address):
    host, port = address.rsplit(":", 1)
    begin = time.monotonic()
    with smtplib.SMTP(host, int(port), timeout=10) as client:
        greeted = time.monotonic() - begin
        # The proxy waits for no more than 200 ms for a client that says nothing.
        expect(greeted < 2, f"the greeting took {greeted:.3f} s")
        body = "Subject: mail\r\n\r\n" + "0123456789\r\n" * 10_000
        expect(client.sendmail("a@example.org", ["b@example.org"], body) == {}, "the mail is taken")
    print(f"greeted after {greeted * 1000:.0f} ms")


def greeting_client(address):
    """Dials a server that speaks first, and says nothing."""
    host, port = address.rsplit(":", 1)
    times = []
    for _ in range(20):
        begin = time.monotonic()
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            expect(connection.recv(1) != b"", "the server speaks")
            times.append((time.monotonic() - begin) * 1000)
    # A proxy that waits for the client to speak does so for 200 ms, each time.
    expect(min(times) < 150, f"the soonest greeting took {min(times):.0f} ms")
    print(f"greeted 20 times, after {statistics.median(times):.0f} ms (median)")


def say_on_a_connection(address, written):
    """Writes bytes, and waits for the other side to close, or to have nothing to say for a second."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=1) as connection:
        try:
            connection.sendall(written)
            while connection.recv(65536):
                pass
        except (TimeoutError, ConnectionError):
            pass


def requests_client(address, label):
    """Each file on a connection of its own, then a request that ends it; before it one that says which file follows."""
    end = b"GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n"
    files = sorted(pathlib.Path("/requests").iterdir())
    for file in files:
        mark = f"GET /mark/{label}/{file.stem} HTTP/1.1\r\nHost: mark\r\nConnection: close\r\n\r\n"
        say_on_a_connection(address, mark.encode())
        say_on_a_connection(address, file.read_bytes() + end)
    print(f"{len(files)} files")


async def serve():
    server = grpc_server(9000)
    Controller(Sink(), hostname="0.0.0.0", port=8025).start()
    async with websockets.serve(echo_websocket, "0.0.0.0", 9001, max_size=None):
        print("serving", flush=True)
        await asyncio.Future()
    server.stop(None)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["grpc", address]:
            grpc_client(address)
        case ["websocket", address]:
            websocket_client(address)
        case ["smtp", address]:
            smtp_client(address)
        case ["greeting", address]:
            greeting_client(address)
        case ["requests", address, label]:
            requests_client(address, label)
        case other:
            sys.exit(f"{other}? {__doc__}")
