import asyncio, time, os, subprocess, sys, resource
import pytest
from aiokafka import AIOKafkaProducer
sys.path.insert(0,"/work/main")
from models.failures import *
from tests.support.kafka import create_topics
from trunkline.delivery.producer import RecordProducer, OutRecord
from trunkline.topology import Topology
async def test_big(kafka, namespace):
    t=Topology(namespace); c=t.retries_changelog("engine-group"); f=t.failures_topic("engine-group")
    await create_topics(kafka,{c.name:3,f.name:3})
    p=RecordProducer([kafka],"x"); await p.start()
    err=ErrorInfo("transient","builtins.ValueError","boo","trace "*100,1); err2=ErrorInfo("transient","builtins.KeyError","bar","trace "*100,1)
    recs=[]
    for i in range(100_000):
        e=RetryEntry(1,EventId(t.real_name("order.created"),i%4,i,1),str(i).encode(),b"x"*200,(),True,i,0,0,RetryState(1,10**13,err,err))
        recs.append(OutRecord(c.name,encode(e),key=entry_key(e.id),partition=i%3))
        recs.append(OutRecord(c.name,encode(RetryState(2,10**13,err,err2)),key=state_key(e.id),partition=i%3))
    for k in range(0,len(recs),20000): await p.send_many(recs[k:k+20000])
    await p.stop()
    env={**os.environ,"KAFKA_BOOTSTRAP_SERVERS":kafka,"TRUNKLINE_NAMESPACE":namespace}
    env.pop("PYTHONDONTWRITEBYTECODE",None)
    for args in (["ls","--limit","3"],["now"]):
        b=time.time()
        r=await asyncio.to_thread(subprocess.run,[sys.executable,"-c","import atexit,resource,sys; atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024, \"MB self\")); from trunkline.cli import main; main()","retries",*args,"--group","engine-group"],env=env,capture_output=True,text=True)
        print(r.stdout,r.stderr,time.time()-b, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss//1024,"MB")
