import os

from kael.work_frame import WORK_FRAME

AMQ_URI = os.environ.get("TCE_FRAME_AMQP", "amqp://guest:guest@127.0.0.1:5672/%2f")
namespace = "test"
conf_dir = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packages/frame_pkg_setting.yaml")
server = WORK_FRAME(name=namespace, auri=AMQ_URI, service_group_conf=conf_dir)
server.frame_start()
