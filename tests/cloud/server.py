#!/usr/bin/env python3
"""A simulated cloud on loopback, with this machine as its only instance.

    server.py TAG=VALUE

Prints one line of JSON (endpoint, access, secret) when it is ready. From then on only
DescribeInstances requests that are signed with this key are answered. Exits at the end of its
standard input.
"""

import json
import os
import sys

# One for each call of `prepare`; later requests are authenticated.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "6"

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"
# Known to moto.
IMAGE = "ami-12c6146b"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}],
}


def main():
    tag, value = sys.argv[1].split("=", 1)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    key = prepare(endpoint, tag, value)
    print(json.dumps({"endpoint": endpoint, "access": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)
    sys.stdin.read()
    server.stop()


def prepare(endpoint, tag, value):
    common = {
        "region_name": REGION,
        "endpoint_url": endpoint,
        "aws_access_key_id": "initial",
        "aws_secret_access_key": "anything",
    }
    iam, ec2 = boto3.client("iam", **common), boto3.client("ec2", **common)
    iam.create_user(UserName="convoke")
    iam.put_user_policy(UserName="convoke", PolicyName="describe-instances", PolicyDocument=json.dumps(POLICY))
    network = ec2.create_vpc(CidrBlock="127.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="127.0.0.0/24")["Subnet"]["SubnetId"]
    ec2.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        PrivateIpAddress="127.0.0.1",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": tag, "Value": value}]}],
    )
    return iam.create_access_key(UserName="convoke")["AccessKey"]


if __name__ == "__main__":
    main()
