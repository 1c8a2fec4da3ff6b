"""CloudEvents 1.0: taken and given in binary and structured mode, over HTTP and on Kafka.

https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents (spec, JSON format, HTTP and Kafka
protocol bindings). The event itself, a JSON object of its topic's model, is a CloudEvent's data.
"""
