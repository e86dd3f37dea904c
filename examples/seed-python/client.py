import os
import sys

import tce
from test import *


class TerminalImpl(ITerminal):
	def __init__(self):
		ITerminal.__init__(self)

	def onMessage(self,message,ctx):
		#这里接收server推送的消息
		print('onMessage:',message, flush=True)

def call_twoway():
	print(prxServer.echo("hello"))

def call_timeout():
	try:
		print(prxServer.timeout(3,6))
	except tce.RpcException as e:
		print(e.what())

def call_async():
	# python方式的异步回调接口
	def hello_callback_async(result,proxy,cookie):
		print('async call result:',result)
		print('cookie:',cookie, flush=True)

	prxServer.echo_async('pingpang',hello_callback_async,'cookie')


def call_extras():
	print(prxServer.echo("hello",extra={'name':'scott.bo'}))

def call_oneway():
	prxServer.heartbeat_oneway('hello world!')

def call_bidirection():
	adapter = tce.RpcCommAdapter('adapter')
	impl = TerminalImpl()
	adapter.addConnection(prxServer.conn)
	adapter.addServant(impl)
	tce.RpcCommunicator.instance().addAdapter(adapter)
	#触发server进行反向调用
	prxServer.bidirection_oneway()

def Proxy():
	"""
	获得代理
	:return:
	"""
	ep = tce.RpcEndPoint(host='localhost',port=int(os.environ.get('GATEWAY_PORT', '12002')))
	prx_server = ServerPrx.create(ep)
	prx_gws = ITerminalGatewayServerPrx.createWithProxy(prx_server)
	return prx_server,prx_gws


tce.RpcCommunicator.instance().init()  #初始化tce库
prxServer,prxGWS = Proxy() 				#获取访问代理

# python client.py, or with the names of the calls: python client.py call_extras call_bidirection
for name in sys.argv[1:] or ['call_twoway']:
	globals()[name]()	#执行调用
tce.sleep()
