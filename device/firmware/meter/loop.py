"""The loop: answers the line, lets the meter work, feeds the watchdog; who waits for whom."""

import select
import time

LOOK_AGAIN_MS = 10  # How often time is looked at while the line is quiet.
SILENCE_MS = 20  # After which part of a frame is no frame.


def serve(meter, server, line, supervisor):
    """Go on for ever; ends only by an exception."""
    poller = select.poll()
    poller.register(line, select.POLLIN)
    heard = time.ticks_ms()
    while True:
        answer = b""
        if poller.poll(0 if meter.busy else LOOK_AGAIN_MS):
            answer = server.feed(line.read(256) or b"")
            heard = time.ticks_ms()
        elif server.waiting and time.ticks_diff(time.ticks_ms(), heard) >= SILENCE_MS:
            answer = server.silence()
        if answer:
            line.write(answer)
        supervisor.progress("line")
        if meter.step():
            supervisor.progress("meter")
        supervisor.check()
