# SPDX-License-Identifier: Apache-2.0
"""The parts of the story: the system under test, its images, the load, the working copy, the chapters."""
