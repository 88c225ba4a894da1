"""What a phone does in Flower's simulation: an epoch of SGD over its own sentences.

A module of its own because Ray's actors then import it, once, and keep what `_load` has loaded from
one message to the next; what the main program defines, they would be sent anew with each message.
"""

import functools

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch_model import Job, KeyboardModel

app = ClientApp()


@functools.cache
def _load(path: str, threads: int) -> tuple[Job, KeyboardModel]:
    torch.set_num_threads(threads)
    job = Job.load(path)
    return job, KeyboardModel(job.weights)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Trains the message's weights and answers with their change, new less old.

    `config` names the job's file and the threads to use.
    """
    config = message.content["config"]
    job, model = _load(config["job"], config["threads"])
    rows = job.phones[context.node_config["partition-id"]]
    initial = message.content["arrays"].to_torch_state_dict()
    model.load_state_dict(initial)
    optimizer = torch.optim.SGD(model.parameters(), lr=job.learning_rate)
    for batch in rows.split(job.batch_size):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight -= initial[name]
    content = {
        "arrays": ArrayRecord(model.state_dict()),
        "metrics": MetricRecord({"num-examples": len(rows)}),
    }
    return Message(content=RecordDict(content), reply_to=message)
