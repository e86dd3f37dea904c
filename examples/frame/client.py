import os

from kael.work_frame import WORK_FRAME

AMQ_URI = os.environ.get("TCE_FRAME_AMQP", "amqp://guest:guest@127.0.0.1:5672/%2f")
namespace = "test"
client = WORK_FRAME(name=namespace, auri=AMQ_URI)

print(client.calculate__add(1, 2))

r = client.command("_get_pkg_version", pkg_type="service")
for agent, packages in client.get_response(r, timeout=5).items():
    print(agent, packages["calculate"]["version"])

print(client.get_last_version(service="calculate", pkg_type="service")["calculate"]["version"])
active = [status["print"]["status"] for status in client.get_all_crontab_status().values()]
print(sum(active), "of", len(active), "agents runs the crontab")
