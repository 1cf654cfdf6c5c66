# SPDX-License-Identifier: Apache-2.0
"""The real plane of the tests: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, built from their Go modules."""
