"""A private system bus with a mock logind and a mock update-engine, told what to do by lines of JSON on stdin.

Each line {"do": NAME, ...} is answered by {"done": NAME, ...}; a call of Reboot is told as {"event": "reboot"}. The
end of stdin ends everything, and so does the end of this process, however it ends.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys

import dbus
import dbus.bus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from dbusmock.mockobject import DBusMockObject, objects
from gi.repository import GLib

MANAGER = "org.freedesktop.login1.Manager"
UPDATE = "com.coreos.update1"
UPDATE_MANAGER = "com.coreos.update1.Manager"
DAEMONS = []
SOCKETS = []


def tell(message):
    print(json.dumps(message), flush=True)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def end():
    # first, so that whoever tries again at once finds what everybody finds later: no bus
    for socket in SOCKETS:
        if os.path.exists(socket):
            os.unlink(socket)
    for daemon in DAEMONS:
        daemon.kill()
        daemon.wait()
    os._exit(0)


def start_bus(directory):
    config = os.path.join(directory, "bus.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(
            "<busconfig><type>system</type><auth>EXTERNAL</auth>"
            f"<listen>unix:path={directory}/bus</listen>"
            '<policy context="default"><allow user="*"/><allow send_destination="*" eavesdrop="true"/>'
            '<allow eavesdrop="true"/></policy>'
            f'<policy user="{os.getuid()}"><allow own="*"/></policy></busconfig>')
    daemon = subprocess.Popen(
        ["dbus-daemon", f"--config-file={config}", "--print-address=1", "--nofork", "--nopidfile", "--nosyslog"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
    DAEMONS.append(daemon)
    SOCKETS.append(os.path.join(directory, "bus"))
    if daemon.stdout.readline() == b"":
        sys.exit("dbus-daemon did not start")
    return f"unix:path={directory}/bus"


class Mock:
    """What the commands do; a method a command."""

    def __init__(self, address):
        DBusGMainLoop(set_as_default=True)
        log = os.devnull
        self.login_bus = dbus.bus.BusConnection(address)
        self.update_bus = dbus.bus.BusConnection(address)
        self.login_name = dbus.service.BusName("org.freedesktop.login1", self.login_bus)
        self.logind = DBusMockObject(self.login_name, "/org/freedesktop/login1", MANAGER, {}, log, False)
        self.logind.AddTemplate("logind", {})
        self.inhibitors = []
        self.sessions = {}
        self.on_reboot = {"how": "accept"}
        self.logind.AddMethod(MANAGER, "Reboot", "b", "", "import __main__; __main__.MOCK.rebooted(args)")
        self.logind.AddMethod(MANAGER, "RebootWithFlags", "t", "",
                              "import __main__; __main__.MOCK.rebooted_with_flags(args)")
        self.on_flags = {"how": "refuse", "message": "Access denied", "name": "org.freedesktop.DBus.Error.AccessDenied"}
        self.logind.AddMethod(MANAGER, "ListInhibitors", "", "a(ssssuu)",
                              "import __main__; ret = __main__.MOCK.list_inhibitors()")
        self.logind.AddMethod(MANAGER, "CanReboot", "", "s", "import __main__; ret = __main__.MOCK.can_reboot")
        self.can_reboot = "yes"
        self.schedule({"type": "", "at_micros": 0})
        self.update_name = dbus.service.BusName(UPDATE, self.update_bus)
        self.update = DBusMockObject(self.update_name, "/com/coreos/update1", UPDATE_MANAGER, {}, log, False)
        self.status({"operation": "UPDATE_STATUS_IDLE", "version": "", "signal": False})

    def rebooted(self, args):
        tell({"event": "reboot", "interactive": bool(args[0])})
        how = self.on_reboot["how"]
        if how == "refuse":
            raise dbus.exceptions.DBusException(self.on_reboot["message"], name=self.on_reboot["name"])
        if how == "hang":
            while True:  # all else goes on
                GLib.MainContext.default().iteration(True)
        if how == "vanish":
            end()

    def rebooted_with_flags(self, args):
        if int(args[0]) != 16 or self.on_flags["how"] == "refuse":
            raise dbus.exceptions.DBusException(self.on_flags["message"], name=self.on_flags["name"])
        tell({"event": "reboot", "interactive": False})

    def flags(self, command):
        self.on_flags = {**self.on_flags, "how": command["how"]}

    def list_inhibitors(self):
        return dbus.Array([tuple(entry) for entry in self.inhibitors], signature="(ssssuu)")

    def session(self, command):
        path = self.logind.AddSession(command["id"], command["seat"], command["uid"], command["user"], True)
        properties = objects[path].props["org.freedesktop.login1.Session"]
        if command["class"] is None:
            del properties["Class"]
        else:
            properties["Class"] = command["class"]
        properties["State"] = command["state"]
        self.sessions[command["id"]] = (command, path)

    def list_sessions_ex(self):
        rows = [(id, dbus.UInt32(c["uid"]), c["user"], c["seat"], dbus.UInt32(1), c["class"] or "", "", False,
                 dbus.UInt64(0), dbus.ObjectPath(path)) for id, (c, path) in self.sessions.items()]
        return dbus.Array(rows, signature="(sussussbto)")

    def extended(self, _command):
        self.logind.AddMethod(MANAGER, "ListSessionsEx", "", "a(sussussbto)",
                              "import __main__; ret = __main__.MOCK.list_sessions_ex()")
        self.logind.AddMethod(MANAGER, "ListSessions", "", "a(susso)", "raise Exception('the other one is there')")

    def end_session(self, command):
        del self.sessions[command["id"]]
        self.logind.RemoveObject(f"/org/freedesktop/login1/session/{command['id']}")

    def inhibit(self, command):
        self.inhibitors = [
            [i["what"], i["who"], i["why"], i["mode"], dbus.UInt32(i["uid"]), dbus.UInt32(i["pid"])]
            for i in command["inhibitors"]]

    def can(self, command):
        self.can_reboot = command["answer"]

    def schedule(self, command):
        value = dbus.Struct((command["type"], dbus.UInt64(command["at_micros"])), signature="st")
        self.logind.props[MANAGER]["ScheduledShutdown"] = value

    def reboot(self, command):
        self.on_reboot = command

    def status(self, command):
        operation, version = command["operation"], command["version"]
        self.update.AddMethod(UPDATE_MANAGER, "GetStatus", "", "xdssx",
                              f"ret = (1500000000, 0.0, {operation!r}, {version!r}, 0)")
        if command["signal"]:
            self.update.EmitSignal(UPDATE_MANAGER, "StatusUpdate", "xdssx",
                                   [dbus.Int64(1500000000), 0.0, operation, version, dbus.Int64(0)])

    def garble(self, _command):
        self.update.AddMethod(UPDATE_MANAGER, "GetStatus", "", "s", "ret = 'what?'")

    def present(self, command):
        if command["present"]:
            self.update_bus.request_name(UPDATE)
        else:
            self.update_bus.release_name(UPDATE)


def main():
    global MOCK
    die_with_parent()
    MOCK = Mock(start_bus(sys.argv[1]))
    loop = GLib.MainLoop()
    rest = b""

    def read(fd, _condition):
        nonlocal rest
        data = os.read(fd, 65536)
        if data == b"":
            end()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            getattr(MOCK, command["do"])(command)
            tell({"done": command["do"]})
        return True

    GLib.io_add_watch(0, GLib.IO_IN | GLib.IO_HUP, read)
    tell({"done": "start"})
    loop.run()


main()
