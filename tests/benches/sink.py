#!/usr/bin/env python3
"""sink.py PORT: an upstream that reads a body, however it is framed, and answers with the number of its bytes."""

import contextlib
import socket
import sys


def be_sink(port):
    """An upstream that reads a body, however it is framed, and answers with the number of its bytes."""
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        client, _ = listener.accept()
        with client, client.makefile("rb", buffering=1 << 18) as stream, contextlib.suppress(OSError, ValueError):
            while stream.readline():
                fields = {}
                while (line := stream.readline().strip()):
                    name, _, value = line.partition(b":")
                    fields[name.lower()] = value.strip()
                count, buffer = 0, memoryview(bytearray(1 << 18))

                def skip(size):
                    while size:
                        got = stream.readinto(buffer[:min(size, len(buffer))])
                        if not got:
                            raise OSError("the body ended early")
                        size -= got
                if b"transfer-encoding" in fields:
                    while (size := int(stream.readline().split(b";")[0], 16)):
                        skip(size)
                        stream.readline()
                        count += size
                    stream.readline()
                else:
                    count = int(fields.get(b"content-length", 0))
                    skip(count)
                answer = str(count).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer))


be_sink(int(sys.argv[1]))
